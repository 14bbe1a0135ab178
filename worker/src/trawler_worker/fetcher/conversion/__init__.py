"""From what a site had to what plays where it is shown."""
