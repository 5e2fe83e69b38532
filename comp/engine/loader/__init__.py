"""The loader's parts: what a batch is made of, the processes that make batches, how many pay, and the way to the device."""
