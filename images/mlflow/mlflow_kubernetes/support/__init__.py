"""What all programs of this package share: environment, database, schemas."""
