"""The lab's API server and controllers, file by file, without HTTP."""
