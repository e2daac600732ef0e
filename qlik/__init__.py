"""The client of the Qlik Sense Repository Service (QRS). Knows neither Django nor Celery."""
