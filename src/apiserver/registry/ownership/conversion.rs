//! Objects at the versions of their managers, where a webhook converts: who owns what is found out without waiting, as far
//! as it goes; what is missing then is asked for, all of a version in one review, and it is found out anew.

use std::collections::BTreeMap;

use api::apply::{ApplyError, Question, Unconverted};
use api::custom::Conversion;
use api::{Status, custom};
use futures::future::try_join_all;
use serde_json::Value;

use super::Written;
use crate::tree::Tree;

/// How often it is found out anew. Each round is a step from version to version, and a definition has few.
const ROUNDS: usize = 64;

/// What a webhook made of an object.
pub(super) struct Answer {
    question: Question,
    converted: Value,
}

impl Written {
    /// Does what needs objects at other versions, until all it needs is there. The outer error is the webhook's.
    pub(in crate::registry) async fn with_answers<T>(
        &mut self,
        mut attempt: impl FnMut(&Self) -> Result<T, ApplyError>,
    ) -> Result<Result<T, ApplyError>, Status> {
        for _ in 0..ROUNDS {
            match attempt(self) {
                Err(ApplyError::Unasked(questions)) => self.ask(questions).await?,
                done => return Ok(done),
            }
        }
        Err(Status::internal("the owners of the object's fields are at too many versions"))
    }

    async fn ask(&mut self, questions: Vec<Question>) -> Result<(), Status> {
        let Some(custom) = &self.resource.custom else { return Ok(()) };
        let definition = &custom.definition;
        let mut versions: BTreeMap<Box<str>, Vec<Question>> = BTreeMap::new();
        for question in questions {
            versions.entry(question.to.clone()).or_default().push(question);
        }
        let reviews = versions.into_iter().map(|(to, questions)| async move {
            let objects = questions.iter().map(|question| question.object.clone()).collect();
            let number = to.rsplit('/').next().unwrap_or_default();
            let converted = Box::pin(definition.convert(objects, number)).await?;
            let answer = |(question, converted)| Answer { question, converted };
            Ok::<_, Status>(questions.into_iter().zip(converted).map(answer).collect::<Vec<_>>())
        });
        let answers = try_join_all(reviews).await?;
        self.answers.extend(answers.into_iter().flatten());
        Ok(())
    }

    /// An object of a custom kind at another of its versions.
    pub(super) fn convert_custom(
        &self,
        custom: &custom::Custom,
        object: &Value,
        from: &str,
        to: &str,
    ) -> Result<Value, Unconverted> {
        let definition = &custom.definition;
        if !definition.names(from) || !definition.names(to) {
            return Err(Unconverted::NoVersion);
        }
        let mut renamed = object.clone();
        // Nothing is nothing at every version.
        let is_empty = object.at("metadata").is_none();
        if is_empty || matches!(definition.conversion, Conversion::None) {
            renamed.put("apiVersion", to);
            return Ok(renamed);
        }
        // As upstream, by way of the version of the request.
        let hub = self.version();
        if from != hub && to != hub {
            let middle = self.convert_custom(custom, object, from, &hub)?;
            return self.convert_custom(custom, &middle, &hub, to);
        }
        renamed.put("apiVersion", from);
        let question = Question { object: renamed, to: to.into() };
        match self.answers.iter().find(|answer| answer.question == question) {
            Some(answer) => Ok(answer.converted.clone()),
            None => Err(Unconverted::Unasked(Box::new(question))),
        }
    }
}
