"""What `manage.py up` is made of: the processes of the service on one machine, started, watched and stopped."""
