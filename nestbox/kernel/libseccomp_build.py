"""Declarations of libseccomp for cffi: run ahead of time, writes ``nestbox/kernel/_libseccomp.py``.

Stands alone: the build imports it before nestbox is installed. ABI mode needs no compiler and no
libseccomp headers; a generated module loads in about a millisecond without cffi's parser.

Source: seccomp.h of libseccomp 2.5, dladdr(3).
"""

from __future__ import annotations

import cffi

ffibuilder = cffi.FFI()
ffibuilder.set_source("nestbox.kernel._libseccomp", None)
ffibuilder.cdef(
    """
    typedef void *scmp_filter_ctx;

    struct scmp_arg_cmp {
        unsigned int arg;
        int op; /* enum scmp_compare */
        uint64_t datum_a;
        uint64_t datum_b;
    };

    struct scmp_version {
        unsigned int major;
        unsigned int minor;
        unsigned int micro;
    };

    const struct scmp_version *seccomp_version(void);
    scmp_filter_ctx seccomp_init(uint32_t def_action);
    void seccomp_release(scmp_filter_ctx ctx);
    int seccomp_merge(scmp_filter_ctx ctx_dst, scmp_filter_ctx ctx_src);
    uint32_t seccomp_arch_resolve_name(const char *arch_name);
    uint32_t seccomp_arch_native(void);
    int seccomp_arch_add(scmp_filter_ctx ctx, uint32_t arch_token);
    int seccomp_arch_remove(scmp_filter_ctx ctx, uint32_t arch_token);
    int seccomp_attr_set(scmp_filter_ctx ctx, int attr, uint32_t value);
    int seccomp_syscall_resolve_name(const char *name);
    int seccomp_syscall_resolve_name_arch(uint32_t arch_token, const char *name);
    int seccomp_rule_add_array(scmp_filter_ctx ctx, uint32_t action, int syscall,
                               unsigned int arg_cnt, const struct scmp_arg_cmp *arg_array);
    int seccomp_export_bpf(scmp_filter_ctx ctx, int fd);

    typedef struct {
        const char *dli_fname;
        void *dli_fbase;
        const char *dli_sname;
        void *dli_saddr;
    } Dl_info;
    int dladdr(const void *addr, Dl_info *info);
    """
)

if __name__ == "__main__":
    ffibuilder.compile(verbose=True)
