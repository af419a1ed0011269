/* What BCC includes first. A tree of these few files stands in for a kernel header package: our programs read only UAPI contexts. */
#define CONFIG_BPF_SYSCALL 1
#define KERNEL_VERSION(a, b, c) (((a) << 16) + ((b) << 8) + (c))
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef signed char s8;
typedef short s16;
typedef int s32;
typedef long long s64;
#define PAGE_SIZE 4096
typedef unsigned long size_t;
typedef unsigned long uintptr_t;
typedef _Bool bool;
#define __always_inline inline __attribute__((always_inline))
