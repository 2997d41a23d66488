/* Copying a tree, as the operations that need it ask for it. */
#ifndef NESTBOX_COPY_H
#define NESTBOX_COPY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

/* What of a tree is copied. */
struct extent {
	int depth; /* of directories, above which it is no tree to be copied */
	bool shallow; /* one directory: its files and links, and of its directories the names */
	bool lenient; /* what may not be read is left out */
	bool plain; /* no file is more to who executes it than his own: it lay on a nosuid mount */
	uint64_t limit; /* larger files are left out; 0: none */
};

/* All that is in a directory, which a new file system will cover. */
extern const struct extent whole;

/* Copies what is in one open directory into another. */
int copy_directory(int source, int copy, int depth, const struct extent *extent);

/* What a file is; with `lenient` an owner that has no id here is -1, which changes nobody. */
int look(int fd, struct stat *info, const struct extent *extent);

/* Gives the owner to a name, unless that has no id here. */
int give(int directory, const char *name, const struct stat *info);

/* 0 where what errno says of a source is no failure, else -1. */
int left_out(const struct extent *extent);

#endif
