"""What people type, checked. Forms know the field names of the API and the names that are cached; they change nothing."""
