"""The message of each job, from the progress to the files: edited by one writer."""
