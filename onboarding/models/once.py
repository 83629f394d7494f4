"""What counts once: a solved challenge, a landing's turns. A row says that it has been used."""

from __future__ import annotations

from datetime import datetime

from django.db import IntegrityError, models, transaction


class Once(models.Model):
    """Something that was used, until it would not be taken any more for its age."""

    digest = models.CharField(max_length=64, unique=True)  # keyed, of what was used
    until = models.DateTimeField(db_index=True)

    class Meta:
        verbose_name = "used once"
        verbose_name_plural = "used once"

    def __str__(self) -> str:
        return self.digest[:8]

    @classmethod
    def use(cls, digest: str, until: datetime) -> bool:
        """Whether this is the first use; of any number of parallel ones exactly one is."""
        try:
            with transaction.atomic():  # inside the caller's: a savepoint, or PostgreSQL would refuse what comes after
                cls.objects.create(digest=digest, until=until)
        except IntegrityError:
            return False
        return True
