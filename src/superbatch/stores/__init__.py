"""Object stores: what an address (`s3://`, `gs://`, `hf://`, anything that fsspec knows) stands for, and the cache on disk it is read through."""
