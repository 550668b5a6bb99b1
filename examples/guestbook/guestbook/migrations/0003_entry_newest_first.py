from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("guestbook", "0002_entry_image")]

    operations = [
        migrations.AddIndex(
            model_name="entry",
            index=models.Index(fields=["-created", "-id"], name="entry_newest_first"),
        ),
    ]
