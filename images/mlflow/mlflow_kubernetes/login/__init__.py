"""Who may use the server: MLflow's basic-auth, and the check of names and passwords."""
