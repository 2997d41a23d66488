/*
 * The throwaway child of a trial: how it is made, waited for and told apart.
 */
#ifndef NESTBOX_KERNEL_TRIAL_CHILD_H
#define NESTBOX_KERNEL_TRIAL_CHILD_H

#include <stdint.h>

enum {
	TRIAL_RESULTS = 128,
};

/* What child and parent share. */
struct page {
	int32_t step; /* of the trial that is under way */
	int32_t results[TRIAL_RESULTS];
};

/* run is called in the child; the other members are its arguments. */
struct trial {
	void (*run)(struct page *page, const struct trial *trial);
	const char *lower;
	const char *directory;
	const char *text;
	const char *const *paths;
	const char *const *values;
	uint64_t flags;
	int32_t kind;
	int32_t first;
	int32_t count;
};

/* A page that a child shares, or NULL with errno. */
struct page *nb_new_page(void);
void nb_free_page(struct page *page);

/* Runs a trial in a child: 0, NB_TRIAL_KILLED, NB_TRIAL_TIMEOUT, or -errno without a child. */
int32_t nb_run_child(struct page *page, const struct trial *trial, int32_t limit_ms);

/* Runs a trial that has one result, and returns that. */
int32_t nb_try_once(const struct trial *trial, int32_t limit_ms);

/* Steps of a child, each 0 or an errno: one write(2), and new namespaces with what they need. */
int32_t nb_write_file(const char *path, const char *text);
int32_t nb_enter_user_namespace(void);
int32_t nb_enter_mount_namespace(void);

/* 0 for a result that is no failure, else errno. */
int32_t nb_errno_of(long result);

#endif
