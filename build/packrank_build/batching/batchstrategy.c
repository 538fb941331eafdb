// Triton custom batching strategy: merge requests for the ranker by tokens, not by count.
//
// A request joins the batch that Triton is forming only if the batch then stays within the limits that the model's
// config gives as parameters: max_batch_tokens, max_batch_pairs and max_batch_padded_tokens (pairs x longest pair,
// which attention computes on). The first request of a batch always joins. So a request over a limit runs alone, and
// the oldest request in the queue is always in the next batch.
//
// It works for any backend: Triton's core calls it while it forms a batch, on one thread per model. It needs two
// settings in the config's dynamic_batching, or Triton lets batches grow beyond the limits:
// - preferred_batch_size lists every size from 1 to max_batch_size. Triton adds later requests to a batch that
//   already waits for the model, and counts them from zero. A batch of a preferred size is closed at once.
// - no max_queue_delay_microseconds: with one, requests join waiting batches unasked.
//   (core/src/dynamic_batch_scheduler.cc: GetDynamicBatch; instance_queue.cc: Dequeue; read in r24.10 and r26.06.)

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// The part of Triton's C API that this file uses, as documented in tritonbackend.h and tritonserver.h.
typedef struct TRITONSERVER_Error TRITONSERVER_Error;
typedef struct TRITONSERVER_Message TRITONSERVER_Message;
typedef struct TRITONBACKEND_Model TRITONBACKEND_Model;
typedef struct TRITONBACKEND_Request TRITONBACKEND_Request;
typedef struct TRITONBACKEND_Input TRITONBACKEND_Input;
typedef struct TRITONBACKEND_Batcher TRITONBACKEND_Batcher;
enum { TRITONSERVER_ERROR_INTERNAL = 1, TRITONSERVER_ERROR_INVALID_ARG = 3 };
TRITONSERVER_Error* TRITONSERVER_ErrorNew(int code, const char* message);
TRITONSERVER_Error* TRITONSERVER_MessageSerializeToJson(TRITONSERVER_Message*, const char** base, size_t* bytes);
TRITONSERVER_Error* TRITONSERVER_MessageDelete(TRITONSERVER_Message*);
TRITONSERVER_Error* TRITONBACKEND_ModelConfig(TRITONBACKEND_Model*, uint32_t version, TRITONSERVER_Message**);
TRITONSERVER_Error* TRITONBACKEND_RequestInput(TRITONBACKEND_Request*, const char* name, TRITONBACKEND_Input**);
TRITONSERVER_Error* TRITONBACKEND_InputProperties(
    TRITONBACKEND_Input*, const char** name, int* datatype, const int64_t** shape, uint32_t* dims_count,
    uint64_t* byte_size, uint32_t* buffer_count);

struct limits { int64_t tokens, pairs, padded_tokens; };
struct batch { const struct limits* limits; int64_t requests, tokens, pairs, longest; };

// Reads "key":{"string_value":"<positive number>"} from the model's config: the form in which Triton serialises it.
static TRITONSERVER_Error* read_limit(const char* config, const char* key, int64_t* limit)
{
  char member[64], message[160];
  snprintf(member, sizeof member, "\"%s\":{\"string_value\":\"", key);
  const char* found = strstr(config, member);
  *limit = found ? strtoll(found + strlen(member), NULL, 10) : 0;
  if (*limit > 0) return NULL;
  snprintf(message, sizeof message, "parameter %s must be a positive number: the batching strategy needs it", key);
  return TRITONSERVER_ErrorNew(TRITONSERVER_ERROR_INVALID_ARG, message);
}

static TRITONSERVER_Error* read_limits(TRITONSERVER_Message* message, struct limits* limits)
{
  const char* base;
  size_t bytes;
  TRITONSERVER_Error* error = TRITONSERVER_MessageSerializeToJson(message, &base, &bytes);
  if (error) return error;
  char* config = strndup(base, bytes);
  if (!config) return TRITONSERVER_ErrorNew(TRITONSERVER_ERROR_INTERNAL, "no memory for the model's config");
  if (!(error = read_limit(config, "max_batch_tokens", &limits->tokens)) &&
      !(error = read_limit(config, "max_batch_pairs", &limits->pairs)))
    error = read_limit(config, "max_batch_padded_tokens", &limits->padded_tokens);
  free(config);
  return error;
}

TRITONSERVER_Error* TRITONBACKEND_ModelBatcherInitialize(TRITONBACKEND_Batcher** batcher, TRITONBACKEND_Model* model)
{
  TRITONSERVER_Message* message;
  TRITONSERVER_Error* error = TRITONBACKEND_ModelConfig(model, 1, &message);
  if (error) return error;
  struct limits* limits = calloc(1, sizeof *limits);
  error = limits ? read_limits(message, limits) : TRITONSERVER_ErrorNew(TRITONSERVER_ERROR_INTERNAL, "no memory");
  TRITONSERVER_MessageDelete(message);
  *batcher = (TRITONBACKEND_Batcher*)limits;  // Triton gives it back to Finalize, also after an error
  return error;
}

TRITONSERVER_Error* TRITONBACKEND_ModelBatcherFinalize(TRITONBACKEND_Batcher* batcher)
{
  free(batcher);
  return NULL;
}

TRITONSERVER_Error* TRITONBACKEND_ModelBatchInitialize(const TRITONBACKEND_Batcher* batcher, void** userp)
{
  struct batch* batch = calloc(1, sizeof *batch);
  if (!batch) abort();  // without a count the limits would not hold
  batch->limits = (const struct limits*)batcher;
  *userp = batch;
  return NULL;
}

TRITONSERVER_Error* TRITONBACKEND_ModelBatchFinalize(void* userp)
{
  free(userp);
  return NULL;
}

// Counts the elements of an INT32 input.
static TRITONSERVER_Error* count(TRITONBACKEND_Request* request, const char* name, int64_t* elements)
{
  TRITONBACKEND_Input* input;
  uint64_t bytes = 0;
  TRITONSERVER_Error* error = TRITONBACKEND_RequestInput(request, name, &input);
  if (!error) error = TRITONBACKEND_InputProperties(input, NULL, NULL, NULL, NULL, &bytes, NULL);
  *elements = (int64_t)(bytes / sizeof(int32_t));
  return error;
}

TRITONSERVER_Error* TRITONBACKEND_ModelBatchIncludeRequest(TRITONBACKEND_Request* request, void* userp, bool* include)
{
  struct batch* batch = userp;
  int64_t tokens, pairs, longest;
  *include = batch->requests == 0;
  TRITONSERVER_Error* error;
  if ((error = count(request, "input_ids", &tokens)) || (error = count(request, "seq_lens", &pairs)) ||
      (error = count(request, "max_len_carrier", &longest)))
    return error;
  tokens += batch->tokens;
  pairs += batch->pairs;
  if (longest < batch->longest) longest = batch->longest;
  *include |= tokens <= batch->limits->tokens && pairs <= batch->limits->pairs &&
              pairs * longest <= batch->limits->padded_tokens;
  if (*include) *batch = (struct batch){batch->limits, batch->requests + 1, tokens, pairs, longest};
  return NULL;
}
