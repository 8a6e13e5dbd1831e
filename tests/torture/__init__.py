"""`make torture`: everything that can be done to a running site while events flow, and what is left of them."""
