"""What the page says about its figures: what they are (for those who can't see them) and what to look for."""

ACCOUNTS = (
    "The paper's accounting re-uses the forward pass of the chosen samples; as executed, the scoring pass keeps no "
    "graph and the chosen are run forward again; everything charged adds training the reference, embedding the pool "
    "and what else was spent once."
)
ALT = {
    "accuracy": "Line chart: accuracy on validation against steps, one line a method",
    "cost": "Five line charts: accuracy against samples, FLOPs in three accountings, and seconds, one line a method",
    "schedules": "Line chart: final accuracy of complete schedules against their length, one line a method",
    "purity": "Line charts, one a kind of pair: its share among the picks and in the super-batches over time",
    "scores": "Two line charts: mean score of picks and super-batches, and the share of repeated picks, over time",
    "standing": "Two line charts: share of picks among the reference's favourites, and spread of the picks, over time",
    "health": "Three line charts over time: loss, gradient norm, learning rate",
    "time": "Stacked bars: milliseconds a step for data, score, select, train and checkpoint, one bar a run",
}
CAPTION = {
    "accuracy": "On the validation split, while training. The higher line at the same step learns more from as many "
    "trained samples; a band is the range over seeds. The dotted line is the reference's own training, on the curated set.",
    "cost": "The same lines against what they cost. At one height, the line further left is the cheaper one. Where everything "
    "is charged, a method that needs the reference starts to the right by what training and embedding took.",
    "schedules": "Each point is a complete schedule of its own: mean over seeds, bars for the 95 % interval. What counts is "
    "where a line first stands on or above the target; the bold number says how many times fewer steps that is.",
    "purity": "One chart a kind of pair. Solid: among the picks. Dashed: in the super-batches they were picked from. Where the "
    "solid line lies above, selection prefers that kind. Training never sees these kinds.",
    "scores": "Left: the gap between picked and super-batch is what selection gains by; when it closes, picking no longer tells "
    "samples apart. Right: a high share means that the run lives on few rows.",
    "standing": "Left: at 100 % the picks would be what a filter by the reference's score keeps; at the dashed line they have "
    "nothing to do with it. Right: one minus the mean cosine of any two picked images (embedded by the reference); far below "
    "the dashed line the picks crowd into few concepts.",
    "health": "Mean of each span of steps, its range shaded. A healthy run has a loss that falls and settles, and a gradient "
    "norm without late spikes.",
    "time": "Mean of all steps. What score and select take is the price of selection; much data means that the device waits for reading and decoding.",
}
