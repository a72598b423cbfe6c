"""What a run is: frozen records and their JSON; the named recipes; the paper's tables as rows of differences."""
