import django.core.validators
from django.db import migrations, models

import guestbook.models


class Migration(migrations.Migration):
    dependencies = [("guestbook", "0001_initial")]

    operations = [
        migrations.AddField(
            model_name="entry",
            name="image",
            field=models.FileField(
                blank=True,
                default="",
                max_length=200,
                upload_to="entries/%Y/%m/",
                validators=[
                    django.core.validators.FileExtensionValidator(["gif", "jpeg", "jpg", "png", "webp"]),
                    guestbook.models.validate_image_size,
                ],
                verbose_name="picture",
            ),
            preserve_default=False,
        ),
    ]
