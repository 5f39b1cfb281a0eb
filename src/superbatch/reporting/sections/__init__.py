"""The sections of the page, one a question: what each shows, for its template of the same name in `templates/report/`."""
