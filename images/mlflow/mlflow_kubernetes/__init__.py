"""What the tracking server needs beyond MLflow itself to run on Kubernetes.

Each module in this folder is a program that a pod runs as `python -m mlflow_kubernetes.<module>`;
contract.py lists their names. The folders hold what these programs are made of:

- server: the processes of the server, and the layers that a request passes before MLflow
- login: users' names and passwords
- audit: a line in the log for each request that changes anything
- artifacts: HDFS and S3 as artifact stores, and what passes through the server in pieces
- stores: plugins of MLflow for its database, with the rules of this package
- patches: everything that is replaced in MLflow and in the libraries below it, with its registry
- backup: backups are saved, verified and restored
- upgrade: tables that hold data are upgraded while no server runs, and the way back
- support: the environment, the database and its schemas, for all programs
"""
