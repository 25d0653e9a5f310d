"""general_manager's FileAuditLogger, as it comes; it gives its events no id."""

from dataclasses import dataclass

from django.conf import settings

settings.configure(USE_TZ=True, INSTALLED_APPS=[])

from drive import METADATA, case, drive
from general_manager.permission.audit import FileAuditLogger, PermissionAuditEvent


@dataclass
class User:
    pk: int = 4217


said, user = case(), User()
logger = FileAuditLogger(said["out"])


def record():
    logger.record(
        PermissionAuditEvent(
            action="update",
            attributes=("status", "owner"),
            granted=False,
            user=user,
            manager="Project",
            permissions=("isAdmin", "isProjectOwner:status"),
            metadata=METADATA,
        )
    )


drive(said, record, logger.close)
