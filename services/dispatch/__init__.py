"""From a released campaign or a worrying case to every recipient, and dark again: planner, lanes, sender, auditor."""
