// SPDX-License-Identifier: Apache-2.0
// Migration streams inside other files.
#pragma once

#include "snap/import.h"
#include "vmm/forward.h"

namespace snap {

/// A migration stream from where `stream` stands to its end. Offsets in a mapped-ram file count from where `stream` began.
Result<Imported> import_qemu_stream(ForwardStream& stream, Writer& writer, const ImportOptions& options);

}  // namespace snap
