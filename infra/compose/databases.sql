-- One database for each that keeps something in Postgres.
CREATE DATABASE airflow;
CREATE DATABASE mlflow;
CREATE DATABASE journal;
