FROM python:3.13-slim
ENV PYTHONUNBUFFERED=1
WORKDIR /app
COPY requirements/base.txt requirements/base.txt
RUN pip install --no-cache-dir --require-hashes -r requirements/base.txt
COPY manage.py gunicorn.conf.py LICENSE ./
COPY butler butler
COPY schedules schedules
COPY qlik qlik
# New volumes take the owner that these folders have here
RUN useradd --create-home butler && install -d -o butler -g butler -m 700 /data /certificates
USER butler
ENV BUTLER_DATA_DIR=/data QRS_CERT_DIR=/certificates
