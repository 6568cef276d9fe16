"""The form that has pictures made, with pictures to edit."""
