"""What darker and brighter light does to false alarms."""
