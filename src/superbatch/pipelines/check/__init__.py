"""Stage `check`: is the reference good enough to choose batches by?"""
