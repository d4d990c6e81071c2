"""The program `emudrift`: two folders of images compared in one process, projects of one's own, short views of an experiment."""
