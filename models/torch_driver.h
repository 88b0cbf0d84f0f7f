/* torch_driver.h - the CUDA driver's functions that vramble calls, found in libcuda.so.1 at run time. C++, for torch_*.cpp only; any thread.
 *
 * The prototypes are those of the driver API (CUresult and CUdevice are int, CUcontext a pointer); 0 is success.
 *
 *	const shim::cuda_driver *driver = shim::cuda_driver::get();
 *	if (driver && driver->memory_of(0, &left, &all))
 *		...
 */
#ifndef MODELS_TORCH_DRIVER_H
#define MODELS_TORCH_DRIVER_H

#include <cstddef>
#include <cstdint>

namespace shim
{

struct cuda_driver {
	int (*init)(unsigned flags);
	int (*version)(int *out); /* 12040 is 12.4 */
	int (*device)(int *handle, int ordinal);
	int (*name)(char *out, int size, int handle);
	int (*pci_address)(char *out, int size, int handle);
	int (*total)(size_t *bytes, int handle);
	int (*attribute)(int *out, int attribute, int handle);
	int (*context_state)(int handle, unsigned *flags, int *active);
	int (*retain)(void **context, int handle);
	int (*release)(int handle);
	int (*push)(void *context);
	int (*pop)(void **context);
	int (*memory)(size_t *left, size_t *all); /* of the current context's device */

	static const cuda_driver *get();          /* NULL: there is no driver, or one from before CUDA 7 */
	bool handle(int ordinal, int *out) const; /* ordinals count what CUDA_VISIBLE_DEVICES shows, as the runtime's do */
	bool memory_of(int ordinal, int64_t *left, int64_t *all) const;
};

} // namespace shim
#endif
