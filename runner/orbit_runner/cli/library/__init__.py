"""What a project and a person keep: data sets, report templates, searches, preferences."""
