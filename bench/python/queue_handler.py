"""logging with a QueueHandler in front of a FileHandler, the line made by json.dumps."""

import json
import logging
import logging.handlers
import queue
import uuid
from datetime import datetime, timezone

from drive import METADATA, case, drive

said = case()
events = queue.SimpleQueue()
file = logging.FileHandler(said["out"], mode="w")
listener = logging.handlers.QueueListener(events, file)
logger = logging.getLogger("audit")
logger.addHandler(logging.handlers.QueueHandler(events))
logger.setLevel(logging.INFO)
logger.propagate = False


def record():
    event = {
        "event_id": str(uuid.uuid4()),
        "timestamp": datetime.now(timezone.utc).isoformat(timespec="microseconds"),
        "action": "update",
        "attributes": ["status", "owner"],
        "granted": False,
        "bypassed": False,
        "manager": "Project",
        "user_id": "4217",
        "user": None,
        "permissions": ["isAdmin", "isProjectOwner:status"],
        "metadata": METADATA,
    }
    logger.info(json.dumps(event, separators=(",", ":")))


def finish():
    listener.stop()
    file.close()


listener.start()
drive(said, record, finish)
