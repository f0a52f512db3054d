"""What stands between a robot and the sign-up form: no third party, and on by default."""
