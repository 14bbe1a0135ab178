"""MediaJobs and MediaQueues: how the bot creates, finds and names them."""
