// SPDX-License-Identifier: Apache-2.0
#include "snap/result.h"

namespace snap {

const char* code_name(Code code) {
  switch (code) {
    case Code::kOk: return "ok";
    case Code::kTruncated: return "incomplete";
    case Code::kCorrupt: return "damaged";
    case Code::kUnsupported: return "unsupported";
    case Code::kLimit: return "over a limit";
    case Code::kParentMismatch: return "wrong parent";
    case Code::kIo: return "input/output error";
    case Code::kNoMemory: return "out of memory";
    case Code::kInvalidArgument: return "invalid argument";
    case Code::kNotFound: return "not found";
    case Code::kCancelled: return "cancelled";
  }
  return "unknown";
}

}  // namespace snap
