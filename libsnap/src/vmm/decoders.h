// SPDX-License-Identifier: Apache-2.0
// A decoder for each compressor; see decompressed().
#pragma once

#include <memory>

#include "vmm/forward.h"

namespace snap {

std::unique_ptr<ByteSource> gzip_decoder(ForwardStream& in);
std::unique_ptr<ByteSource> bzip2_decoder(ForwardStream& in);
std::unique_ptr<ByteSource> xz_decoder(ForwardStream& in);
std::unique_ptr<ByteSource> zstd_decoder(ForwardStream& in);
std::unique_ptr<ByteSource> lzop_decoder(ForwardStream& in);

}  // namespace snap
