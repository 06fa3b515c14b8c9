//! Dispatch of the API's operations to their handlers.

use axum::http::HeaderMap;
use serde_json::Value;
use trunkgate_twiml::compat::requests::Endpoint;

use super::conferences::plain;
use super::error::Error;
use super::lookup::Version;
use super::parameters::Parameters;
use super::recordings::RecordingParent;
use super::{
    Answer, Asked, account, call_recordings, calls, conferences, create, keys, live_transcriptions, lookup, messages,
    numbers, participants, queues, recordings, streams, transcriptions,
};

/// Handles an operation of the API. `first` and `second` are the path segments for the placeholders after the account.
pub(super) async fn answer(
    cx: &Asked<'_>,
    endpoint: Endpoint,
    [first, second]: [&str; 2],
    headers: &HeaderMap,
    parameters: Parameters,
) -> Result<Answer, Error> {
    match endpoint {
        Endpoint::ListAccounts => shown(account::list(cx, parameters)),
        Endpoint::FetchAccount => shown(account::fetch(cx, parameters)),
        Endpoint::ListCalls => shown(calls::list(cx, parameters).await),
        Endpoint::CreateCall => created(create::create(cx, parameters).await),
        Endpoint::FetchCall => shown(calls::fetch(cx, first, parameters).await),
        Endpoint::UpdateCall => shown(calls::update(cx, first, parameters).await),
        Endpoint::DeleteCall => deleted(calls::delete(cx, first, parameters).await),
        Endpoint::StartStream => created(streams::start(cx, first, parameters).await),
        Endpoint::StopStream => shown(streams::stop(cx, first, second, parameters).await),
        Endpoint::StartLiveTranscription => created(live_transcriptions::start(cx, first, parameters).await),
        Endpoint::StopLiveTranscription => shown(live_transcriptions::stop(cx, first, second, parameters).await),
        Endpoint::ListCallRecordings => shown(recordings::list(cx, RecordingParent::Call(first), parameters).await),
        Endpoint::CreateRecording => created(call_recordings::begin(cx, first, parameters).await),
        Endpoint::FetchCallRecording => {
            shown(recordings::fetch(cx, RecordingParent::Call(first), second, parameters).await)
        }
        Endpoint::UpdateCallRecording => shown(call_recordings::update(cx, first, second, parameters).await),
        Endpoint::DeleteCallRecording => {
            deleted(recordings::delete(cx, RecordingParent::Call(first), second, parameters).await)
        }
        Endpoint::ListRecordings => shown(recordings::list(cx, RecordingParent::Account, parameters).await),
        Endpoint::FetchRecordingAudio => recordings::audio(cx, first, headers, parameters).await,
        Endpoint::FetchRecording => shown(recordings::fetch(cx, RecordingParent::Account, first, parameters).await),
        Endpoint::DeleteRecording => deleted(recordings::delete(cx, RecordingParent::Account, first, parameters).await),
        Endpoint::ListRecordingTranscriptions => shown(transcriptions::list(cx, Some(first), parameters).await),
        Endpoint::FetchRecordingTranscription => transcriptions::fetch(cx, Some(first), second, parameters).await,
        Endpoint::DeleteRecordingTranscription => {
            deleted(transcriptions::delete(cx, Some(first), second, parameters).await)
        }
        Endpoint::ListTranscriptions => shown(transcriptions::list(cx, None, parameters).await),
        Endpoint::FetchTranscription => transcriptions::fetch(cx, None, first, parameters).await,
        Endpoint::DeleteTranscription => deleted(transcriptions::delete(cx, None, first, parameters).await),
        Endpoint::ListConferences => shown(conferences::list(cx, parameters).await),
        Endpoint::FetchConference => shown(conferences::fetch(cx, first, parameters).await),
        Endpoint::UpdateConference => shown(conferences::update(cx, first, parameters).await),
        Endpoint::ListConferenceRecordings => {
            shown(recordings::list(cx, RecordingParent::Conference(first), parameters).await)
        }
        Endpoint::FetchConferenceRecording => {
            shown(recordings::fetch(cx, RecordingParent::Conference(first), second, parameters).await)
        }
        Endpoint::UpdateConferenceRecording => {
            shown(conferences::change_recording(cx, first, second, parameters).await)
        }
        Endpoint::DeleteConferenceRecording => {
            deleted(recordings::delete(cx, RecordingParent::Conference(first), second, parameters).await)
        }
        Endpoint::ListParticipants => shown(participants::list(cx, &plain(first), parameters).await),
        Endpoint::CreateParticipant => created(participants::create(cx, &plain(first), parameters).await),
        Endpoint::FetchParticipant => shown(participants::fetch(cx, (&plain(first), &plain(second)), parameters).await),
        Endpoint::UpdateParticipant => {
            shown(participants::update(cx, (&plain(first), &plain(second)), parameters).await)
        }
        Endpoint::DeleteParticipant => {
            deleted(participants::delete(cx, (&plain(first), &plain(second)), parameters).await)
        }
        Endpoint::ListQueues => shown(queues::list(cx, parameters).await),
        Endpoint::CreateQueue => created(queues::create(cx, parameters).await),
        Endpoint::FetchQueue => shown(queues::fetch(cx, first, parameters).await),
        Endpoint::UpdateQueue => shown(queues::update(cx, first, parameters).await),
        Endpoint::DeleteQueue => deleted(queues::delete(cx, first, parameters).await),
        Endpoint::ListMembers => shown(queues::members(cx, first, parameters).await),
        Endpoint::FetchMember => shown(queues::fetch_member(cx, (first, second), parameters).await),
        Endpoint::DequeueMember => shown(queues::dequeue(cx, (first, second), parameters).await),
        Endpoint::ListNumbers => shown(numbers::list(cx, parameters)),
        Endpoint::FetchNumber => shown(numbers::fetch(cx, first, parameters)),
        Endpoint::UpdateNumber => shown(numbers::update(cx, first, parameters).await),
        Endpoint::ListMessages => messages::list(cx, parameters).await,
        Endpoint::CreateMessage => messages::create(cx, parameters).await,
        Endpoint::FetchMessage => messages::fetch(cx, first, parameters).await,
        Endpoint::DeleteMessage => messages::delete(cx, first, parameters).await,
        Endpoint::ListKeys => keys::list(cx, parameters).await,
        Endpoint::CreateKey => keys::create(cx, parameters).await,
        Endpoint::FetchKey => keys::fetch(cx, first, parameters).await,
        Endpoint::UpdateKey => keys::update(cx, first, parameters).await,
        Endpoint::DeleteKey => keys::delete(cx, first, parameters).await,
        Endpoint::LookUpV1 => shown(lookup::answer(cx, Version::V1, first, parameters)),
        Endpoint::LookUpV2 => shown(lookup::answer(cx, Version::V2, first, parameters)),
    }
}

fn shown(done: Result<Value, Error>) -> Result<Answer, Error> {
    done.map(Answer::Shown)
}

fn created(done: Result<Value, Error>) -> Result<Answer, Error> {
    done.map(Answer::Created)
}

fn deleted(done: Result<(), Error>) -> Result<Answer, Error> {
    done.map(|()| Answer::Deleted)
}
