"""The sections of the page, one a question: each gives its content as HTML."""
