"""The tasks that the engine can train: one file for each family, and how its jobs are made from files and settings."""

from superbatch.tasks.classact import ClassAct
from superbatch.tasks.contrastive import Contrastive, Reference
from superbatch.tasks.embed import embed
from superbatch.tasks.flexi import Flexi
from superbatch.tasks.inference import embed_images, embed_texts
from superbatch.tasks.label_jobs import label_job, label_reference_job
from superbatch.tasks.learner import learner_job
from superbatch.tasks.reference import import_reference, reference_job
from superbatch.tasks.sets import SetFiles

__all__ = [
    "ClassAct",
    "Contrastive",
    "Flexi",
    "Reference",
    "SetFiles",
    "embed",
    "embed_images",
    "embed_texts",
    "import_reference",
    "label_job",
    "label_reference_job",
    "learner_job",
    "reference_job",
]
