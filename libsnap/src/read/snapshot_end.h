// SPDX-License-Identifier: Apache-2.0
// What stands at a snapshot's end: SEAL, and the record before it, which no index finds.
#pragma once

#include <optional>

#include "image/record.h"
#include "read/image.h"

namespace snap {

struct SealPlace {
  Record record;
  Bytes body;
  Bytes before;  // the bytes that stand before it, as many as were asked for, or all that are records
};
Result<SealPlace> read_seal(const Image& image, std::size_t bytes_before);

/// The record that SEAL names as the one before it; nothing where it is the first. Found by its head: kCorrupt where that is damaged.
Result<std::optional<Record>> find_before_seal(const Image& image, const Record& seal);

}  // namespace snap
