"""What a person writes, as types: campaigns, and the words that every room shares."""
