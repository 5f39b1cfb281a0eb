"""Which preset to run on a pool: what was measured of it, what is on record, the rules between the two, and the advice in words."""
