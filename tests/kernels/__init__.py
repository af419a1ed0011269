"""The same programs on the kernels that users run: Debian's stock ones, booted in emulation, and the one we are on.

``debian`` fetches and unpacks, ``machine`` boots, ``payload`` is what runs inside each kernel, ``__main__`` compares.
Emulated (QEMU's TCG), so it needs no KVM and says nothing about speed. Leaves out architectures other than amd64.
"""
