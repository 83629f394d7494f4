"""Moments in the console, to the second and with their zone: they are compared with logs and with the platform's."""

DATETIME_FORMAT = "Y-m-d H:i:s e"
