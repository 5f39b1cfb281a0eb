"""Trackers (TensorBoard, MLflow, DVCLive): each follows every training through its ledger, in its own thread.

The ledger on disk is the queue: a tracker that fails, or is slow, holds up no step and loses nothing, since it is told the rest at its next chance.
"""

from superbatch.tracking.found import send_found
from superbatch.tracking.packages import require_trackers
from superbatch.tracking.tracker import RunInfo, Tracker
from superbatch.tracking.tracking import Tracking, tracking_of

__all__ = ["RunInfo", "Tracker", "Tracking", "require_trackers", "send_found", "tracking_of"]
