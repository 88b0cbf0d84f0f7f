/* torch_errors.cpp - what an exception means to those who must act on it: less memory, another device, or an error to show. */
#include "models/torch_private.h"

#include <cstring>

namespace
{

/* No memory. A library that cannot even be set up (NOT_INITIALIZED) found none for its workspace. */
const char *const memory_signs[] = {
	"out of memory",
	"ALLOC_FAILED",
	"can't allocate memory",
	"NOT_ENOUGH_MEMORY",
	"CUBLAS_STATUS_NOT_INITIALIZED",
	"CUDNN_STATUS_NOT_INITIALIZED",
};

/* CUDA's errors after which every further call on the context fails (cudaGetErrorString), and devices that cannot be had at all. */
const char *const device_signs[] = {
	"illegal memory access",
	"device-side assert",
	"unspecified launch failure",
	"uncorrectable ECC",
	"uncorrectable NVLink",
	"illegal instruction",
	"misaligned address",
	"invalid program counter",
	"hardware stack error",
	"address space",
	"launch timed out",
	"context is destroyed",
	"driver shutting down",
	"busy or unavailable",
	"no CUDA-capable device",
	"MPS",
	"unknown error",
	"CUBLAS_STATUS_EXECUTION_FAILED",
	"CUDNN_STATUS_EXECUTION_FAILED",
};

template <size_t n> bool has_any(const char *text, const char *const (&signs)[n])
{
	for (const char *sign : signs) {
		if (strstr(text, sign))
			return true;
	}
	return false;
}

} // namespace

enum tt_status tt_status_of_text(const char *what)
{
	if (has_any(what, memory_signs))
		return TT_OUT_OF_MEMORY;
	/* the words alone could be anybody's */
	const bool cuda = strstr(what, "CUDA") || strstr(what, "CUBLAS") || strstr(what, "CUDNN") || strstr(what, "cuDNN");
	return cuda && has_any(what, device_signs) ? TT_DEVICE : TT_ERROR;
}

namespace shim
{

enum tt_status exception_describe(std::string &what)
{
	try {
		throw;
	} catch (const c10::OutOfMemoryError &e) {
		what = e.what_without_backtrace();
		return TT_OUT_OF_MEMORY;
	} catch (const c10::Error &e) {
		what = e.what_without_backtrace();
	} catch (const std::bad_alloc &) {
		what = "out of memory";
		return TT_OUT_OF_MEMORY;
	} catch (const std::exception &e) {
		what = e.what();
	} catch (...) {
		what = "unknown exception";
	}
	return tt_status_of_text(what.c_str());
}

} // namespace shim
