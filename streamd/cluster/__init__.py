"""Facts that workers and nodes share: `bus` says what can be asked, `in_process` and `redis` answer it."""
