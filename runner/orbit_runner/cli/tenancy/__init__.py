"""Who belongs where and may do what: organisations, business units, projects, grants."""
