"""MediaJobs and MediaQueues, as the bot makes, finds and names them."""
