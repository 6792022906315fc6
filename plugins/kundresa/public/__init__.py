"""The small web service that recipients and other systems talk to. Stateless: what it knows is in the store
and in what is published, so any number of them may run behind a proxy."""
