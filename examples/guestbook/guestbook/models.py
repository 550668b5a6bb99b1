from __future__ import annotations

from django.core.exceptions import ValidationError
from django.core.files import File
from django.core.validators import FileExtensionValidator
from django.db import models

IMAGE_EXTENSIONS = ["gif", "jpeg", "jpg", "png", "webp"]
IMAGE_MEGABYTES = 5


def validate_image_size(image: File) -> None:
    if image.size > IMAGE_MEGABYTES * 1024 * 1024:
        raise ValidationError(f"The picture is larger than {IMAGE_MEGABYTES} MB.")


class Entry(models.Model):
    name = models.CharField(max_length=60)
    message = models.TextField(max_length=500)
    # A plain file, not an ImageField: that needs Pillow, only to learn the size in pixels.
    image = models.FileField(
        "picture",
        upload_to="entries/%Y/%m/",
        max_length=200,
        blank=True,
        validators=[FileExtensionValidator(IMAGE_EXTENSIONS), validate_image_size],
    )
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-created", "-id"]
        indexes = [models.Index(fields=["-created", "-id"], name="entry_newest_first")]
        verbose_name_plural = "entries"

    def __str__(self) -> str:
        return f"{self.name}, {self.created:%Y-%m-%d}"

    @property
    def colour(self) -> int:
        """Which of the stylesheet's six colours the name gets; the same name always gets the same one."""
        return sum(map(ord, self.name)) % 6
